variable "name" {
  description = "Name of the identity, by which lifeboat/hand-out.sh finds it."
  type        = string
}

variable "resource_group" {
  description = "The region's resource group."
  type        = string
}

variable "location" {
  description = "Azure's name of the region."
  type        = string
}

variable "issuer" {
  description = "Who vouches for the cluster's service accounts."
  type        = string
}

variable "subnet_id" {
  description = "Subnet of the cluster, from which the vault is read."
  type        = string
}

variable "vault" {
  description = "Name of the key vault with the node's certificates."
  type        = string
}

variable "tenant_id" {
  description = "Entra tenant of the vault."
  type        = string
}

variable "administrator" {
  description = "Entra group that may write certificates."
  type        = object({ name = string, id = string })
}

variable "administrator_addresses" {
  description = "From where certificates may be written."
  type        = list(string)
}

variable "role_id" {
  description = "The custom role under which nodes move components."
  type        = string
}

variable "scopes" {
  description = "Resource groups in which the role holds, by a name for each."
  type        = map(string)
}
