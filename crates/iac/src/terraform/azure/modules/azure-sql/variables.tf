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

variable "administrator" {
  description = "Entra group that administers the databases: no passwords."
  type        = object({ name = string, id = string })
}

variable "subnet_id" {
  description = "Subnet of the private endpoint."
  type        = string
}

variable "private_dns_zone_id" {
  description = "Private DNS zone with the names of the servers of all regions."
  type        = string
}
