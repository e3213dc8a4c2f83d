variable "name" {
  description = "Name of everything."
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

variable "zones" {
  description = "Availability zones; none where the region has none."
  type        = list(string)
}

variable "subnet_id" {
  description = "Subnet of the nodes."
  type        = string
}

variable "machine_subnet_id" {
  description = "Subnet of the region's machines, in which the address of the Lifeboat node lies."
  type        = string
}

variable "serving" {
  description = "Whether the region serves clients; from roles.auto.tfvars.json."
  type        = bool
}

variable "full_size" {
  description = "Nodes that bear the whole load."
  type        = number
}

variable "standby_size" {
  description = "Nodes while another region serves."
  type        = number
}

variable "max_size" {
  description = "Most nodes that the autoscaler may run."
  type        = number
}

variable "instance_type" {
  description = "VM size of the nodes."
  type        = string
}

variable "kubernetes_version" {
  description = "Version of the control plane, the same in every region."
  type        = string
}

variable "administrator_ids" {
  description = "Object ids in Entra of those who may do everything in the cluster."
  type        = list(string)
}

variable "secret_store" {
  description = "Whether the region's Lifeboat node is a pod in the cluster and has its certificates from a vault."
  type        = bool
  default     = false
}
